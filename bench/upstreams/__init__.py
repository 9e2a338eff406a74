"""What each kind of upstream adds to calling the same thing directly."""
