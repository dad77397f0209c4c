"""How jobs come in by themselves: notifications of a store, messages, and what lies in an inbox."""
