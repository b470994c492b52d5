"""A complete plugin for a vendor that does not exist, laid out as a distribution of its own would be.

``plugin`` is the provider, ``catalog.toml`` its offers, ``answers`` the shapes of what the vendor says, and
``emulator`` is the vendor itself. It can be of any class of idempotency, so that the engine meets each of them.
"""
