"""Reading house numbers from street photographs."""
