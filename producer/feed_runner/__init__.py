"""The feed runner: it polls an odds feed, stores what is new, and keeps the cards up to date."""
