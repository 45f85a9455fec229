"""The requests and responses of each service generation; pure."""
