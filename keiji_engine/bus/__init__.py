"""How programs talk with the engine: messages, the server, the client."""
