"""The state of moto's services other than S3 and SageMaker, kept in the account's database."""
