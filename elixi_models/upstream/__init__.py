"""The world outside this process: the Ollama server, the registry, the machine."""
