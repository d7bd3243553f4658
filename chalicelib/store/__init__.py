"""DynamoDB: tables, reads, and writes that are committed together. Only this imports pynamodb."""
