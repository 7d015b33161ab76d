"""Methods: streams, terms and step order; one file per method."""
