def test_it(api, service):
    print(api.get(f"/v1/services/{service}"))
    r = api.post(f"/v1/cicd/services/{service}/build", {"git_ref":"main"}); print(r)
    print(api.get(r.headers["location"])); print(api.get(f"/v1/cicd/jobs/{r.body['job_id']}"))
    print(api.get(f"/v1/cicd/builds/1/logs")); print(api.get(f"/v1/nope")); print(api.request("PUT","/v1/health"))
    print(api.get(f"/v1/cicd/services/{service}/rollback")); print(api.post(f"/v1/cicd/services/{service}/rollback", headers={"Content-Type":None}))
    print(api.get(f"/v1/projects?limit=1"))
