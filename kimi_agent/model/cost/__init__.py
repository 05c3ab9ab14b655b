"""Cost control: prices, the cost of a request, totals, caps, and the budget that enforces them."""
