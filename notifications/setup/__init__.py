"""What SES, EventBridge and SNS need once: the plan, its execution, and the doctor who looks at the result."""
