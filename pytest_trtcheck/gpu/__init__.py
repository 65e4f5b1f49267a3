"""The one package that touches GPU libraries. Imported in workers only, never by pytest's controlling process."""
