"""The catalogue: public price lists turned into a rate card. Prices are facts; nothing else is taken."""
