"""What is tuned: names, folders, GGUF files and adapters in; a loaded model out."""
