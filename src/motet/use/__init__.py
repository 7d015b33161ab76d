"""What is done with a trained model: features, export, streams, weights."""
