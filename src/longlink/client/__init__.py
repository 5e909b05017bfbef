"""The Python client. `longlink.connect` is the door; client.py is what stands behind it."""
