"""What must not leave: numbers with check digits, and marks of classification. Pure and bounded; never raises."""
