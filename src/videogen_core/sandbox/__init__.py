"""The built-in provider that needs no key and makes placeholder clips, written as an outside plugin would be.

``plugin`` is what the entry point names, ``render`` makes a clip from a `RenderSpec`, ``scene`` paints its frames and
``inputs`` reads images and clips. Importing ``plugin`` imports no media library: they load with the first job.
"""
