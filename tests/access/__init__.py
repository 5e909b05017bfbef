"""The access layer, from its parsers to the gateway."""
