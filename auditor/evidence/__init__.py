"""Methods: target + sources -> estimates with uncertainty. The only room that imports torch, in replay and methods."""
