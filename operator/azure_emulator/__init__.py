"""azure_emulator."""
