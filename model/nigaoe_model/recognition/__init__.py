"""Networks that describe faces; they measure results and take no part in making them."""
