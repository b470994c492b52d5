"""Every video model on Replicate for videogen, listed in the catalogue or not."""
