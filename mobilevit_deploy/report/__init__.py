"""For people: tables, the HTML page and its plots. JSON documents stand beside what they are of."""
