"""AWS: one narrow module per service. Only this calls AWS. SDK errors become Slipway's."""
