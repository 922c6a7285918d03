// Command vcsim serves VMware's vCenter simulator as the contract tests need it.
//
// It is what govmomi's own vcsim command does, without that command's options: the service
// refuses wrong passwords, speaks TLS, and speaks the API version of vdl's simulator. It prints
// one line of JSON when it is ready and ends when its standard input does.
package main

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/url"
	"os"

	"github.com/vmware/govmomi/simulator"
)

const (
	apiVersion = "8.0.3.0"
	username   = "administrator@vsphere.local"
	password   = "simulated"
)

func main() {
	model := simulator.VPX()
	defer model.Remove()
	// Two hosts and two VMs in one cluster; no stand-alone hosts, no distributed switch.
	model.Host, model.ClusterHost, model.Machine, model.Portgroup = 0, 2, 2, 0
	model.Autostart = false
	model.ServiceContent.About.ApiVersion = apiVersion
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	model.Service.TLS = new(tls.Config)
	model.Service.Listen = &url.URL{
		Host: "127.0.0.1:0",
		User: url.UserPassword(username, password),
	}
	server := model.Service.NewServer()
	defer server.Close()
	certificate := pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw},
	)
	ready := map[string]string{
		"server":      server.URL.Host,
		"certificate": string(certificate),
		"username":    username,
		"password":    password,
	}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		log.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}
