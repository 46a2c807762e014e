"""What the law asks: who looked and who changed, exports of all that is held, and an end to what is kept."""
