"""What the backend promises to hold: answers in milliseconds, a round turned in seconds, memory flat in the pool.

Every row is a value with its bound, measured in one run on one machine against a real Label Studio where one takes
part. Nothing of it is asserted in the tests: times depend on the machine.
"""
