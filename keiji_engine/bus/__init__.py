"""The bus: messages, server and client."""
