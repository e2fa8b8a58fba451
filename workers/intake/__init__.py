"""Jobs and consents come in; every door leads through here.

- `consent`: a customer's consent to documents
- `messages`: jobs that come as Dramatiq messages
- `rejections`: messages that were refused
- `submit`: new jobs, one or thousands at a time
"""
