"""Host preparation: from a host as it is and a wish to ordered steps, and the steps to deeds."""
