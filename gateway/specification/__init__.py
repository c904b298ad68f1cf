"""OpenAPI 3.1, AsyncAPI 3 and JSON Schemas of the contracts, the page that shows them, and TypeScript types.

    python -m gateway.specification

writes them into the tree: the documents into the folder `files`, which the gateway serves, the types into
`gateway/typescript`. Tests compare the files with the code, and the table of operations with the routes.
"""
