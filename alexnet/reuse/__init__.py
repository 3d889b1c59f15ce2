"""A trained network put to other uses: features, probes on other pictures, transfer."""
