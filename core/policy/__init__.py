"""Whether, when and by which way a user hears of something: gates over values, without storage or clock."""
