"""The application: where the parts are made from the settings and joined."""
