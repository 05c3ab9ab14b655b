"""The wire protocol: requests encoded, answers streamed and parsed, errors of the endpoint understood."""
