"""What moto's IAM lacks: policies are evaluated, and AWS's own are there when somebody names one."""
