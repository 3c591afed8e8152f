"""The model card: written from metrics.json in marked parts, merged with what people wrote."""
