"""What `askonce.openai` is made of: the real SDK's classes, with the cache inside. Patches nothing of theirs."""
