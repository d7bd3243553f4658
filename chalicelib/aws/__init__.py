"""The only importer of boto3: one narrow module per AWS service, SDK errors turned into ours."""
