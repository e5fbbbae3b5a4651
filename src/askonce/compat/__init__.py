"""Other caches' names, with what they do done by askonce: a program changes one word of its imports."""
