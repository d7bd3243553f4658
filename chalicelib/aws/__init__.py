"""AWS: one narrow module per service. Only this imports boto3. SDK errors become Slipway's."""
