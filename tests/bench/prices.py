"""AWS's list prices in US dollars, and what is assumed where nothing can be counted here.

Prices are those on demand in us-east-1, without free tiers, taxes and discounts. AWS's pages
aws.amazon.com/<service>/pricing have them. No change after `AS_OF` is in this list, and none was
looked for. Other regions differ.
"""

from collections.abc import Mapping

AS_OF = "2025-12"
MILLION = 1_000_000

# DynamoDB, standard tables on demand: a unit written or read, a GB for a month, and its backup.
WRITE_UNIT = 0.625 / MILLION
READ_UNIT = 0.125 / MILLION
STORED_GB = 0.25
BACKUP_GB = 0.20  # point-in-time recovery
# Lambda on arm64.
INVOCATION = 0.20 / MILLION
GB_SECOND = 0.0000133334
# API Gateway, REST API.
REQUEST = 3.50 / MILLION
# SQS, standard queue: SendMessage, ReceiveMessage and DeleteMessage are one request each.
SQS_REQUEST = 0.40 / MILLION
FIFO_REQUEST = 0.50 / MILLION  # of a FIFO queue
# EventBridge: events of AWS's services and rules with a schedule, on the default bus.
EVENT = 0.0
# CloudWatch: a GB of log lines taken in, a GB of logs kept for a month, and things for a month.
LOG_GB = 0.50
KEPT_LOG_GB = 0.03
ALARM = 0.10
METRIC = 0.30
DASHBOARD = 3.00
# Secrets Manager, and KMS where the parameter `KmsKey` is set.
SECRET = 0.40
SECRET_READ = 0.05 / 10_000
KMS_KEY = 1.00
KMS_REQUEST = 0.03 / 10_000

# Assumptions, because no AWS answers here.
#
# Milliseconds until AWS has answered a call: DynamoDB's own documents say "single-digit".
WAIT_MS: Mapping[str, float] = {
    "dynamodb": 5,
    "sqs": 10,
    "logs": 50,
    "ecr": 50,
    "iam": 50,
    "secretsmanager": 50,
    "ssm": 50,
    "ecs": 100,
    "codebuild": 150,
}
# Bytes of Lambda's own lines about an invocation, of the fields around a line of ours, and of a
# line of the API's access log. CloudWatch adds 26 bytes to each line.
PLATFORM_LOG = 900
LINE = 300
ACCESS_LOG = 400
# Requests of Lambda for messages while the queue is empty: five at a time, each waits 20 seconds
# ("Using Lambda with Amazon SQS").
IDLE_POLLS_A_MINUTE = 15
# A row's and an index entry's bytes besides its attributes ("Item sizes").
ROW = 100
DAYS = 30
