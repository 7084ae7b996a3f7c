"""Rules of an organisation about its mail: data that people write, evaluated top down."""
