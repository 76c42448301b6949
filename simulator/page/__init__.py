"""The local web page and the JSON API under it (extra ``page``); nothing else imports it but its command."""
