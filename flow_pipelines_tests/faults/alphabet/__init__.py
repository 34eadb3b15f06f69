"""The fault alphabet: what every fault of every call leads to, at every provider."""
