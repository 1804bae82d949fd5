"""The JSON of requests and answers, and its way from and to the model."""
