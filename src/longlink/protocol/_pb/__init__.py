"""Generated from proto/longlink.proto by proto/generate.py; do not edit."""
