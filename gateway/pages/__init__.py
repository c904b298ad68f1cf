"""The pages: rendered here, without a build step, from templates and files of this folder.

A page is a template that extends `base.html`, and a handler in `gateway.app.ROUTES` that returns a
`rendering.render(...)`. Its parts come from `parts.html` (tables, links to further entries, badges, failures) and from
the filters of `filters.py`. A form contains `form_field(form_token)`; its handler is a `@post(path,
**form_route(role))` that takes `data: FormData` and returns `rendering.redirect(...)`. A part of a page that changes
while it is open is an element with an id and the attribute `data-live`, and the page is rendered with
`live=Live(...)`. There is no inline style or script.
"""
